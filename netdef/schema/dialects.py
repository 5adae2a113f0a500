"""Which fork of Caffe has a layer type or field that BVLC's has not? For messages: netdef has no rules for them."""

from __future__ import annotations

from functools import cache

# Each fork with its repository, its layer types (in capitals: those of 2014), and its fields. What several forks
# have is listed with the one that it came from.
_FORKS: dict[str, tuple[str, str]] = {
    "Fast R-CNN (rbgirshick/caffe-fast-rcnn)": (
        "ROIPooling SmoothL1Loss",
        "roi_pooling_param smooth_l1_loss_param scale_train",
    ),
    "SSD (weiliu89/caffe)": (
        "AnnotatedData DetectionEvaluate DetectionOutput MultiBoxLoss Normalize Permute PriorBox VideoData",
        """
        annotated_data_param detection_evaluate_param detection_output_param multibox_loss_param norm_param
        permute_param prior_box_param video_data_param resize_param distort_param expand_param emit_constraint
        noise_param crop_h crop_w eval_type ap_version show_per_class_result plateau_winsize item
        """,
    ),
    "SegNet (alexgkendall/caffe-segnet)": (
        "BN DenseImageData Upsample",
        "bn_param dense_image_data_param upsample_param sample_weights_test weight_by_label_freqs class_weighting",
    ),
    "DeconvNet (HyeonwooNoh/DeconvNet)": (
        "UNPOOLING ELTWISE_ACCURACY WINDOW_SEG_DATA",
        "unpooling_param eltwise_accuracy_param",
    ),
    "DeepLab": (
        "ImageSegData IMAGE_SEG_DATA DenseCRF MatRead MatWrite UniqueLabel",
        "label_type mat_read_param mat_write_param dense_crf_param unique_label_param",
    ),
    "CRF-RNN (torrvision/crfasrnn)": ("MultiStageMeanfield MULTI_STAGE_MEANFIELD", "multi_stage_meanfield_param"),
    "PSPNet (hszhao/PSPNet)": ("Interp SegAccuracy", "interp_param seg_accuracy_param scale_factors"),
    "several forks for detection": ("ROIAlign", "roi_align_param"),
    "MNC (daijifeng001/caffe-mnc)": ("ROIWarping MaskResize MaskPooling", "roi_warping_param mask_resize_param"),
    "C3D (facebook/C3D)": (
        "Convolution3D Deconvolution3D Pooling3D CONVOLUTION3D DECONVOLUTION3D POOLING3D VIDEO_DATA VOLUME_DATA",
        "convolution3d_param pooling3d_param kernel_depth temporal_stride temporal_pad",
    ),
    "OpenPose (CMU-Perceptual-Computing-Lab/caffe_train)": (
        "CPMData ImResize Nms",
        "cpm_transform_param imresize_param nms_param",
    ),
    "PVANet (sanghoon/caffe)": ("Proposal", "proposal_param"),
    "CaffeOnSpark (yahoo/CaffeOnSpark)": ("CoSData", "cos_data_param source_class"),
    "Spatial transformers (daerduoCarey/SpatialTransformerLayer)": ("SpatialTransformer", "st_param"),
    "R-FCN (daijifeng001/caffe-rfcn)": (
        "BoxAnnotatorOHEM PSROIPooling SmoothL1LossOHEM SoftmaxWithLossOHEM",
        "box_annotator_ohem_param psroi_pooling_param pre_fixed_normalizer",
    ),
    "HED (s9xie/hed)": ("ImageLabelmapData", "image_labelmap_param"),
    "FCN (longjon/caffe)": ("CROP", ""),
    "SENet (hujie-frank/SENet)": ("Axpy", ""),
    "ShuffleNet (farmingyard/ShuffleNet)": ("ShuffleChannel", "shuffle_channel_param"),
    "MobileNet's forks": ("ConvolutionDepthwise DepthwiseConvolution ConvolutionDepthWise", ""),
    "SphereFace (wy1iu/sphereface)": ("MarginInnerProduct", "margin_inner_product_param"),
    "caffe-face (ydwen/caffe-face)": ("CenterLoss", "center_loss_param"),
    "CTPN (tianzhi0549/CTPN)": ("Lstm Reverse Transpose", "lstm_param reverse_param transpose_param"),
    "CTC layers (ChWick/caffe)": (
        "ContinuationIndicator CTCLoss CtcLoss CtcDecoder CTCGreedyDecoder LabelsequenceAccuracy",
        "continuation_indicator_param ctc_loss_param ctc_decoder_param labelsequence_accuracy_param",
    ),
    "DeepDetect (jolibrain/caffe)": ("SparseData SparseInnerProduct", ""),
    "FlowNet 2 (lmb-freiburg/flownet2)": (
        """
        Correlation Correlation1D FlowWarp Resample ChannelNorm CustomData DataAugmentation FlowAugmentation
        GenerateAugmentationParameters L1Loss LpqLoss Downsample Accum Mean ImgReader ImgWriter FLOWriter
        FloatReader FloatWriter
        """,
        """
        correlation_param flow_warp_param resample_param augmentation_param coeff_schedule_param l1_loss_param
        lpq_loss_param accum_param mean_param reader_param writer_param
        """,
    ),
    "ParseNet (weiliu89/caffe, branch fcn)": ("", "stepearly"),
    "forks that round pooling by a switch (BVLC: `round_mode`)": ("", "ceil_mode"),
    "Caffe before 1.0": ("Padding", "norm_region"),
    "NVCaffe (NVIDIA/caffe)": (
        "DetectNetTransformation",
        """
        detectnet_groundtruth_param detectnet_augmentation_param default_forward_type default_backward_type
        default_forward_math default_backward_math forward_type backward_type forward_math backward_math
        default_conv_algos_override default_cudnn_math_override conv_algos_override cudnn_math_override
        cudnn_convolution_algo_seeker global_grad_scale global_grad_scale_adaptive reduce_buckets scale_bias
        parser_threads use_gpu_transform img_rand_resize_lower img_rand_resize_upper rampup_interval rampup_lr
        momentum_policy weight_decay_policy larc larc_policy larc_turbo solver_data_type store_blobs_in_old_format
        """,
    ),
    "Intel Caffe (intel/caffe)": (
        "MultiNode MnActivation MnParamGrad",
        "engine_type bn_stats_batch_size compile_net_state multinode_param",
    ),
    "RefineDet (sfzhang15/RefineDet)": ("MultiBoxLossOHEM", "objectness_score"),
    "MobileNet-YOLO (eric612/MobileNet-YOLO)": (
        "RegionLoss YoloDetectionOutput Yolov3 Yolov3DetectionOutput Reorg ReLU6",
        "region_loss_param yolo_detection_output_param yolov3_param reorg_param relu6_param",
    ),
}


def fork_of_type(name: str) -> str | None:
    """The fork that a layer type is known to come from."""
    return _table(0).get(name)


def fork_of_field(name: str) -> str | None:
    """The fork that a field is known to come from."""
    return _table(1).get(name)


@cache
def _table(column: int) -> dict[str, str]:
    """Forks by name; a name listed twice is a mistake of ours."""
    pairs = [(name, fork) for fork, columns in _FORKS.items() for name in columns[column].split()]
    assert len(dict(pairs)) == len(pairs), "a name is listed with two forks"
    return dict(pairs)
